"""Runs on a cluster that this machine only asks for: what travels, under which name, and how the report comes back.

package    which files of the job's folder travel; bounded, without what only this machine needs
screening  nothing that travels holds a secret
submission one name for one evaluation, and the command that the cluster runs
jobs_api   Ray's Jobs API: the only module here that imports ray
following  what is shown of a log, however often the connection breaks
handover   the report as a line of the log
"""
