"""Invertible maps that know their log-determinants."""
