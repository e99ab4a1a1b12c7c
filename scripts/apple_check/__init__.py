"""Checks the Swift that needs Apple's frameworks on machines that do not have them."""
