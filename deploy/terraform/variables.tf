variable "name" {
  description = "What everything is named after."
  type        = string
  default     = "pangolin"
}

variable "cidr" {
  description = "Of the network."
  type        = string
  default     = "10.42.0.0/16"
}

variable "worker_image" {
  description = "By digest: REPOSITORY@sha256:…"
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.worker_image))
    error_message = "What a tag names may change under a run: name the image by digest."
  }
}

variable "controller_image" {
  description = "By digest. Without it no controller is deployed here."
  type        = string
  default     = null
}

variable "controller_execution_role_arn" {
  description = "Pulls the controller's image and writes its log; the execution role of tasks may do neither."
  type        = string
  default     = null
}

variable "retention_days" {
  description = "Of seals and checkpoints in the bucket with Object Lock."
  type        = number
  default     = 3650
}
