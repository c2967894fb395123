"""How seqsum measures: plan, workers, records, tables. Never imports Keras outside a worker."""
