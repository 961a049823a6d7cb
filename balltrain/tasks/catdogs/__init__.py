"""Cat or dog?"""
