"""Offline training: from data to a trained, evaluated, calibrated and published flow.

Each package imports only those before it: data, presets, optimisers, run, report, publish, commands.
"""
