"""What an operator looks at: web page, health, metrics."""
