"""Stages of the workflow: each reads stores, calls the rooms below, and writes stores."""
