-- The list of a file of one block is not kept any more: there is nothing in it that its content and its extent do not say.
DELETE FROM blocks WHERE content IN (SELECT content FROM base WHERE kind = 0 AND size <= 65536);
