-- Looks for a dead letter, where one script may not touch the stream too.
-- KEYS[1]  the dead-letter queue
-- ARGV[1]  the data of the dead letter, ARGV[2] the id from which on it may stand
-- Returns  1 where it was found, otherwise 0
return is_written(KEYS[1], ARGV[1], ARGV[2]) and 1 or 0
