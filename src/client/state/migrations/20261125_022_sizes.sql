-- Which files of more than a block have a size: a copy is found by it, however its blocks are cut.
CREATE INDEX base_size ON base (size) WHERE kind = 0 AND size > 65536;
