"""What plans cost in accuracy: data, metrics with intervals, and a model's answers under each."""
