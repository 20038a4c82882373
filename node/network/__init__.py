"""What every DICOM and HTTP connection of the node has in common.

Tests: `requestor` is what pynetdicom needs to talk to real peers; the tests of `node.send.dimse_delivery`,
`node.prior.search` and `node.receive.dimse.commitment_provider` talk to them. `fhir_client` is tested with its
users, and so are `dicomweb_client` (`node.prior.search` and `node.on_demand.fetching` ask a real archive by it) and
`webhook_client` (`node.send.webhook_delivery` and `node.on_demand.callbacks`) and `smtp_client`
(`node.send.email_delivery`).
"""
