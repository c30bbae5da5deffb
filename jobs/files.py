"""Names of what a run leaves in the store, under its own name (DESIGN section 5)."""

JOB = "job.yaml"
METRICS = "metrics.jsonl"
RESULT = "result.json"
REPORT = "report.html"
MODEL = "model"
PREDICTIONS = "predictions"
