"""Checks the DSSE envelope of a Sigstore bundle with securesystemslib: dsse.py BUNDLE PUBLIC-KEY.pem"""

import json
import sys

from cryptography.hazmat.primitives.asymmetric import types

# securesystemslib 1.4 names two types by what a newer cryptography calls them.
if not hasattr(types, "PublicKeyTypes"):
    types.PublicKeyTypes = types.PUBLIC_KEY_TYPES
    types.PrivateKeyTypes = types.PRIVATE_KEY_TYPES

from securesystemslib.dsse import Envelope  # noqa: E402
from securesystemslib.signer import SSlibKey  # noqa: E402

envelope = Envelope.from_dict(json.load(open(sys.argv[1]))["dsseEnvelope"])
public = {"public": open(sys.argv[2]).read()}
[keyid] = envelope.signatures
envelope.verify([SSlibKey(keyid, "ecdsa", "ecdsa-sha2-nistp256", public)], 1)
