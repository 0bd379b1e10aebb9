-- Calculated metrics: they have no dataset; what they are made of is in definition_uses.

ALTER TABLE metrics ALTER COLUMN dataset DROP NOT NULL;
