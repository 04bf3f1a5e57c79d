"""Answers policy questions with moto's own evaluation, run in the root file system of scripts/s3-servers.sh.

stdin: JSON lines {"policy": document, "action": "s3:PutObject", "resource": "arn:..."}; stdout: one of PERMITTED, DENIED, NEUTRAL a line.
Conditions are left out before (moto knows those of trust relationships only).
"""
import json
import sys

from moto.iam.access_control import IAMPolicy

for line in sys.stdin:
    question = json.loads(line)
    policy = IAMPolicy({"policy_document": json.dumps(question["policy"])})
    print(policy.is_action_permitted(question["action"], question["resource"]).name)
