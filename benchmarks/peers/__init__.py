"""Who trains the networks: each module has `train(task, turns)`, and runs in a process of its own."""

MOMENTUM = 0.9
