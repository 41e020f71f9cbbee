"""The commands: sluice-train, sluice-calibrate, and the quick check of all presets."""
