-- Windows that a metric has whole, as JSON: which dataset, epoch and revision they belong to, and their edges.
ALTER TABLE metrics ADD COLUMN windows TEXT;
