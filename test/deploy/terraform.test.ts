/** `deploy/terraform`: its permissions are those of the table; validated and applied on moto where terraform is. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '@pangolin/contracts/read-config';
import { names, policyOf, principals, templateOf, type Name, type Principal } from '@pangolin/controller/iam';
import { repository } from '../spine/harness.ts';
import { moto } from '../storage/s3-servers.ts';

const all = Object.keys(principals) as Principal[];
const module = join(repository, 'deploy', 'terraform');
const plugins = process.env['PANGOLIN_TEST_TERRAFORM'];
// No registry of ours has terraform: CI runs the second test where the machine has it.
const skip =
  moto.skip ?? (plugins === undefined ? 'PANGOLIN_TEST_TERRAFORM is not set: eval "$(scripts/terraform.sh)"' : false);

test('the module renders the generated policies with every name of the table', () => {
  const text = readFileSync(join(module, 'main.tf'), 'utf8');
  assert.match(text, /templatefile\("\$\{path\.module\}\/\.\.\/iam\/\$\{each\.key\}\.json", local\.names\)/);
  const listed = /principals = toset\(\[([^\]]*)\]\)/.exec(text)![1]!.match(/[a-z]+/g)!;
  assert.deepEqual(listed.sort(), [...all].sort());
  const given = /names = \{\n([^}]*)\n {2}\}/
    .exec(text)![1]!
    .match(/^ +[a-z_]+(?= +=)/gm)!
    .map((each) => each.trim());
  assert.deepEqual(given.sort(), [...names].sort());
  for (const principal of all) {
    const file = readFileSync(join(repository, 'deploy', 'iam', `${principal}.json`), 'utf8');
    assert.deepEqual(JSON.parse(file), templateOf(principal), principal);
  }
});

test('the module is valid, and applies on moto', { skip }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'pangolin-terraform-'));
  const name = `pangolin-${randomUUID().slice(0, 8)}`;
  const image = (kind: string): string => `registry.example/pangolin-${kind}@sha256:${'a'.repeat(64)}`;
  writeFileSync(
    join(dir, 'rc'),
    `provider_installation {\n  filesystem_mirror {\n    path = ${JSON.stringify(plugins)}\n  }\n}\n`,
  );
  writeFileSync(
    join(dir, 'main.tf'),
    `provider "aws" {
  region                      = "eu-central-1"
  access_key                  = "x"
  secret_key                  = "x"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
module "pangolin" {
  source           = ${JSON.stringify(relative(dir, module))}
  name             = "${name}"
  worker_image     = "${image('worker')}"
  controller_image = "${image('controller')}"
}
output "all" { value = module.pangolin }
`,
  );
  const terraform = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync('terraform', args, {
      cwd: dir,
      encoding: 'utf8',
      env: {
        ...process.env,
        TF_CLI_CONFIG_FILE: join(dir, 'rc'),
        AWS_ENDPOINT_URL: moto.endpoint,
        CHECKPOINT_DISABLE: '1',
        TF_IN_AUTOMATION: '1',
      },
      maxBuffer: 2 ** 26,
    });
    assert.equal(status, 0, `terraform ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  };
  try {
    terraform('init', '-no-color', '-input=false');
    terraform('validate', '-no-color');
    terraform('apply', '-no-color', '-input=false', '-auto-approve');
    const { all: made } = JSON.parse(terraform('output', '-json')) as { readonly all: { readonly value: Outputs } };
    const { config, policies, names: given } = made.value;
    for (const principal of all)
      assert.deepEqual(JSON.parse(policies[principal]), policyOf(principal, given), principal);
    const read = readConfig(Buffer.from(config), 'config');
    assert.ok(read.ok, JSON.stringify(read));
    assert.equal(read.config.compute?.fargate?.executionRoleArn, given.execution_role_arn);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

interface Outputs {
  readonly config: string;
  readonly policies: Readonly<Record<Principal, string>>;
  readonly names: Readonly<Record<Name, string>>;
}
