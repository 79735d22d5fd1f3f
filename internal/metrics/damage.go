package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb"
)

const (
	// damagedDir is where blocks lie that cannot be read, beside the others.
	damagedDir = "damaged"
	// blockName is how long the names of blocks are, ULIDs; nothing else's is.
	blockName = 26
)

// setAside moves blocks that cannot be read away: tsdb would not open with them, and
// a region is worth more than some hours of its metrics.
func setAside(dir string, log *slog.Logger) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if len(e.Name()) != blockName || !e.IsDir() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		block, err := tsdb.OpenBlock(log, path, nil, nil)
		if err == nil {
			err = block.Close()
		}
		if err == nil {
			continue
		}
		log.Error("a block of metrics is damaged and set aside", "block", path, "err", err)
		to := filepath.Join(dir, damagedDir, e.Name())
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(path, to)); err != nil {
			return fmt.Errorf("set a damaged block aside: %w", err)
		}
	}
	return nil
}
