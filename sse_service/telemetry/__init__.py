"""What a task says of itself: metrics, logs, health. It never changes what the task does."""
