"""Who trains the networks: each module has `train(task, turns)`, and runs in a process of its own."""

# A rate that no network diverges at, so that equal networks show equal losses.
LR_MAX, MOMENTUM = 0.02, 0.9
