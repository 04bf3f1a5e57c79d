output "storage" {
  value = "s3://${aws_s3_bucket.storage.bucket}?region=${data.aws_region.here.name}"
}

output "config" {
  description = "pangolin.yaml (JSON is YAML)"
  value       = local.config
}

output "signing_keys" {
  value = { for role, key in aws_kms_key.signing : role => key.arn }
}

output "names" {
  description = "What the table of permissions calls them."
  value       = local.names
}

output "policies" {
  value = { for principal, policy in aws_iam_policy.this : principal => policy.policy }
}
