# Everything that Pangolin needs of an AWS account, as deploy/cdk has it. Permissions are the generated ones of deploy/iam and no others.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.40" }
  }
}

data "aws_caller_identity" "here" {}
data "aws_partition" "here" {}
data "aws_region" "here" {}

locals {
  names = {
    partition          = data.aws_partition.here.partition
    region             = data.aws_region.here.name
    account            = data.aws_caller_identity.here.account_id
    bucket             = aws_s3_bucket.storage.bucket
    prefix             = ""
    lock_bucket        = aws_s3_bucket.worm.bucket
    lock_prefix        = ""
    data_key_arn       = aws_kms_key.data.arn
    seal_key_arn       = aws_kms_key.signing["seal"].arn
    attest_key_arn     = aws_kms_key.signing["attest"].arn
    cluster            = aws_ecs_cluster.this.name
    execution_role_arn = aws_iam_role.this["execution"].arn
    repository_arn     = aws_ecr_repository.worker.arn
    log_group          = aws_cloudwatch_log_group.tasks.name
    queue_arn          = aws_sqs_queue.notifications.arn
  }
  principals = toset(["submitter", "controller", "execution", "sealer", "auditor", "collector"])
  # Which role carries which policies; who submits, audits and collects is for the operator to say.
  attached = { controller = "controller", sealer = "controller", execution = "execution" }
}

# --- keys

resource "aws_kms_key" "data" {
  description         = "Objects of the storage"
  enable_key_rotation = true
}

resource "aws_kms_key" "signing" {
  for_each                 = { seal = "Closes runs", attest = "Signs statements" }
  description              = each.value
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
}

# --- storage

resource "aws_s3_bucket" "storage" {
  bucket = "${var.name}-storage"
}

resource "aws_s3_bucket" "worm" {
  bucket              = "${var.name}-worm"
  object_lock_enabled = true
}

resource "aws_s3_bucket_versioning" "worm" {
  bucket = aws_s3_bucket.worm.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = { storage = aws_s3_bucket.storage.id, worm = aws_s3_bucket.worm.id }
  bucket                  = each.value
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "storage" {
  bucket = aws_s3_bucket.storage.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.data.arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "storage" {
  bucket = aws_s3_bucket.storage.id
  rule {
    id     = "uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload { days_after_initiation = 1 }
  }
  rule {
    id     = "grants"
    status = "Enabled"
    filter { prefix = "tasks/" }
    expiration { days = 8 }
  }
}

locals {
  only_tls = { Sid = "OnlyTls", Effect = "Deny", Principal = "*", Action = "s3:*", Condition = { Bool = { "aws:SecureTransport" = "false" } } }
}

resource "aws_s3_bucket_policy" "storage" {
  bucket = aws_s3_bucket.storage.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [merge(local.only_tls, { Resource = [aws_s3_bucket.storage.arn, "${aws_s3_bucket.storage.arn}/*"] })]
  })
}

# As docs/operate.md says: only once, only locked, and no way around.
resource "aws_s3_bucket_policy" "worm" {
  bucket = aws_s3_bucket.worm.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      merge(local.only_tls, { Resource = [aws_s3_bucket.worm.arn, "${aws_s3_bucket.worm.arn}/*"] }),
      { Sid = "OnlyOnce", Effect = "Deny", Principal = "*", Action = "s3:PutObject", Resource = "${aws_s3_bucket.worm.arn}/*", Condition = { Null = { "s3:if-none-match" = "true" } } },
      { Sid = "OnlyLocked", Effect = "Deny", Principal = "*", Action = "s3:PutObject", Resource = "${aws_s3_bucket.worm.arn}/*", Condition = { StringNotEquals = { "s3:object-lock-mode" = "COMPLIANCE" } } },
      { Sid = "NoWayAround", Effect = "Deny", Principal = "*", Action = ["s3:BypassGovernanceRetention", "s3:DeleteObject"], Resource = "${aws_s3_bucket.worm.arn}/*" },
    ]
  })
}

# Of new files in inbox/ and control/: hints that wake the controller at once.
resource "aws_sqs_queue" "notifications" {
  name                      = "${var.name}-notifications"
  message_retention_seconds = 86400
}

resource "aws_sqs_queue_policy" "notifications" {
  queue_url = aws_sqs_queue.notifications.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.notifications.arn
      Condition = { ArnEquals = { "aws:SourceArn" = aws_s3_bucket.storage.arn } }
    }]
  })
}

resource "aws_s3_bucket_notification" "storage" {
  bucket     = aws_s3_bucket.storage.id
  depends_on = [aws_sqs_queue_policy.notifications]
  dynamic "queue" {
    for_each = ["inbox/", "control/"]
    content {
      queue_arn     = aws_sqs_queue.notifications.arn
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = queue.value
    }
  }
}

# --- permissions

resource "aws_iam_role" "this" {
  for_each = toset(values(local.attached))
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_policy" "this" {
  for_each = local.principals
  name     = "${var.name}-${each.key}"
  policy   = templatefile("${path.module}/../iam/${each.key}.json", local.names)
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each   = local.attached
  role       = aws_iam_role.this[each.value].name
  policy_arn = aws_iam_policy.this[each.key].arn
}

# --- tasks

resource "aws_ecs_cluster" "this" {
  name = var.name
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]
}

resource "aws_ecr_repository" "worker" {
  name                 = "${var.name}-worker"
  image_tag_mutability = "IMMUTABLE"
}

resource "aws_cloudwatch_log_group" "tasks" {
  name              = "/${var.name}/tasks"
  retention_in_days = 30
}
