-- What a live file is made of is said by its newest version too, which is never pruned: one index in the order of hashes less to write for each file.
DROP INDEX file_index_content;
