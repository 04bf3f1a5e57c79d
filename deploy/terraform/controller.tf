# The controller as one Fargate task with its run-state and keys on EFS; only with controller_image.

locals {
  served = var.controller_image == null ? 0 : 1
  config = jsonencode({
    notifications = { queueUrl = aws_sqs_queue.notifications.url, region = data.aws_region.here.name }
    compute = {
      fargate = {
        region           = data.aws_region.here.name
        cluster          = aws_ecs_cluster.this.name
        subnets          = aws_subnet.isolated[*].id
        securityGroups   = [aws_security_group.closed["tasks"].id]
        executionRoleArn = aws_iam_role.this["execution"].arn
        image            = var.worker_image
        logGroup         = aws_cloudwatch_log_group.tasks.name
        capacity         = ["spot", "on-demand"]
      }
    }
    evidence = {
      anchors = [{
        id            = "worm"
        type          = "s3-object-lock"
        bucket        = aws_s3_bucket.worm.bucket
        region        = data.aws_region.here.name
        retentionDays = var.retention_days
      }]
    }
  })
}

resource "aws_security_group" "state" {
  name        = "${var.name}-state"
  description = "The state of the controller"
  vpc_id      = aws_vpc.this.id
  ingress {
    protocol        = "tcp"
    from_port       = 2049
    to_port         = 2049
    security_groups = [aws_security_group.closed["controller"].id]
  }
}

resource "aws_efs_file_system" "state" {
  encrypted = true
}

resource "aws_efs_mount_target" "state" {
  count           = 2
  file_system_id  = aws_efs_file_system.state.id
  subnet_id       = aws_subnet.isolated[count.index].id
  security_groups = [aws_security_group.state.id]
}

resource "aws_efs_access_point" "state" {
  file_system_id = aws_efs_file_system.state.id
  posix_user {
    uid = 1000
    gid = 1000
  }
  root_directory {
    path = "/pangolin"
    creation_info {
      owner_uid   = 1000
      owner_gid   = 1000
      permissions = "700"
    }
  }
}

resource "aws_cloudwatch_log_group" "controller" {
  name              = "/${var.name}/controller"
  retention_in_days = 90
}

resource "aws_ecs_task_definition" "controller" {
  count                    = local.served
  family                   = "controller-of-${var.name}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 512
  memory                   = 1024
  task_role_arn            = aws_iam_role.this["controller"].arn
  execution_role_arn       = var.controller_execution_role_arn
  container_definitions = jsonencode([{
    name                   = "controller"
    image                  = var.controller_image
    essential              = true
    user                   = "1000:1000"
    readonlyRootFilesystem = true
    stopTimeout            = 30
    entryPoint             = ["tini", "--", "sh", "-c"]
    command                = ["printf %s \"$PANGOLIN_CONFIG\" >/tmp/pangolin.yaml && exec pangolin orch serve --compute fargate --config /tmp/pangolin.yaml"]
    environment = [
      { name = "PANGOLIN_STORAGE", value = "s3://${aws_s3_bucket.storage.bucket}?region=${data.aws_region.here.name}" },
      { name = "PANGOLIN_STATE", value = "/data/controller" },
      { name = "PANGOLIN_CONFIG", value = local.config },
    ]
    mountPoints = [
      { sourceVolume = "tmp", containerPath = "/tmp", readOnly = false },
      { sourceVolume = "state", containerPath = "/data", readOnly = false },
    ]
    healthCheck = { command = ["CMD", "pangolin", "doctor", "--live"], interval = 60, timeout = 30, retries = 2, startPeriod = 120 }
    logConfiguration = {
      logDriver = "awslogs"
      options   = { awslogs-group = aws_cloudwatch_log_group.controller.name, awslogs-region = data.aws_region.here.name, awslogs-stream-prefix = "controller" }
    }
  }])
  volume { name = "tmp" }
  volume {
    name = "state"
    efs_volume_configuration {
      file_system_id     = aws_efs_file_system.state.id
      transit_encryption = "ENABLED"
      authorization_config { access_point_id = aws_efs_access_point.state.id }
    }
  }
}

resource "aws_ecs_service" "controller" {
  count           = local.served
  name            = "${var.name}-controller"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.controller[0].arn
  launch_type     = "FARGATE"
  desired_count   = 1
  # The old one ends before the new one starts.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  network_configuration {
    subnets         = aws_subnet.isolated[*].id
    security_groups = [aws_security_group.closed["controller"].id]
  }
}

# --- alarms

resource "aws_sns_topic" "alarms" {
  name = "${var.name}-alarms"
}

resource "aws_cloudwatch_metric_alarm" "no_controller" {
  count               = local.served
  alarm_name          = "${var.name}-no-controller"
  alarm_description   = "No controller runs: submissions wait, running tasks go on."
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = { ClusterName = aws_ecs_cluster.this.name, ServiceName = aws_ecs_service.controller[0].name }
  statistic           = "SampleCount"
  period              = 300
  evaluation_periods  = 2
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}

# pino's levels: 40 warns, 50 is an error.
resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each       = { Errors = "{ $.level >= 50 }", SealsBehind = "{ $.msg = \"sealing is behind*\" }" }
  name           = "${var.name}-${each.key}"
  pattern        = each.value
  log_group_name = aws_cloudwatch_log_group.controller.name
  metric_transformation {
    name      = each.key
    namespace = "Pangolin/${var.name}"
    value     = "1"
  }
}

resource "aws_cloudwatch_metric_alarm" "logged" {
  for_each            = { Errors = "A pass of the controller fails; its log says why.", SealsBehind = "Seals wait for a key, an anchor or the storage." }
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value
  namespace           = "Pangolin/${var.name}"
  metric_name         = each.key
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
}
