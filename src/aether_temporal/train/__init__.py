"""Recipes on top of `aether_temporal.torch`: data sets, the training loop, and the trainings whose blobs ship with the
package.

Imports torch (extra `train`); nothing else imports it but its own commands.
"""
