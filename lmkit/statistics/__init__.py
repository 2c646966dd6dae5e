"""How far a measured number can be trusted. No torch, no lmkit: numpy and scipy only."""
