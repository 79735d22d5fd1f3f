package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// bootIDFile lies on a file system that lasts from one boot of the instance to
// the next.
const bootIDFile = "/run/tarn/boot-id"

// bootID is what /proc/sys/kernel/random/boot_id is on a machine of one's own:
// new with each boot, the same when only this process has started again. fresh
// says that it is new.
func bootID(file string) (id string, fresh bool, err error) {
	data, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(data)), false, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", false, fmt.Errorf("reading the instance's boot id: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", false, fmt.Errorf("making the directory of the instance's boot id: %w", err)
	}
	id = uuid.NewString()
	// Whole or not at all: the next start believes what it finds.
	if err := os.WriteFile(file+".new", []byte(id+"\n"), 0o444); err != nil {
		return "", false, fmt.Errorf("writing the instance's boot id: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return "", false, fmt.Errorf("writing the instance's boot id: %w", err)
	}
	return id, true, nil
}
