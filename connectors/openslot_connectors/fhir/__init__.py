"""Connectors that speak FHIR, and a FHIR server of our own to try them on."""
