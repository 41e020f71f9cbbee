"""From a finished run to a published model: rounding, calibration, export; and recalibration later."""
