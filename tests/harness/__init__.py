"""What the conformance tests are made of: a real daemon, real clients, packages to send.

Nothing here knows how lambd works inside. The daemon is a program that is started with
``lambd serve``, and everything else goes over the wire.
"""
