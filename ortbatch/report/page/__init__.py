"""report.html: one file to look at, made of nothing but a decoded report.

A section is a function of the report that gives blocks (sentences, tables, figures), or None where the report holds
nothing for it. Templates draw blocks; no HTML is written in Python. It works without JavaScript, asks the network for
nothing, and treats every name that comes from data or models as text.
"""
