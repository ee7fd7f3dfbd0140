"""The trainer: the model as autograd sees it, and the two trainings whose blobs ship with the package.

The only part of the package that imports torch (extra `train`); nothing else imports it but its own commands.
"""
