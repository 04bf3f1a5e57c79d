#!/usr/bin/env bash
# Where a machine has terraform and the AWS provider already, the line to evaluate; else why not, on stderr. Neither is in the
# registries that everything else here comes from.
#
#   eval "$(scripts/terraform.sh)"     PANGOLIN_TEST_TERRAFORM is a mirror of providers; PANGOLIN_TERRAFORM_PLUGINS names another
set -euo pipefail

command -v terraform >/dev/null || { echo 'terraform: there is no terraform program here' >&2; exit 0; }
for dir in "${PANGOLIN_TERRAFORM_PLUGINS:-}" "$HOME/.terraform.d/plugins" /usr/local/share/terraform/plugins /usr/share/terraform/plugins /opt/*; do
  if [ -d "$dir/registry.terraform.io/hashicorp/aws" ]; then
    echo "export PANGOLIN_TEST_TERRAFORM='$dir'"
    exit 0
  fi
done
echo 'terraform: there is no mirror with the provider hashicorp/aws here' >&2
