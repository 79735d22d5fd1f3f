package metrics

import "context"

// Compact makes blocks of what the head has enough of, as happens by itself.
func (db *DB) Compact(ctx context.Context) error { return db.tsdb.Compact(ctx) }

// Blocks are how many there are on disk.
func (db *DB) Blocks() int { return len(db.tsdb.Blocks()) }
