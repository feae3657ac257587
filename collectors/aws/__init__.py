"""Read Amazon ECR, S3 and CloudWatch, and publish to SNS."""
