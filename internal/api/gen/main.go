// Command gen writes the packages below internal/api from AWS's service
// models, for the operations in operations.txt. It is run by go generate.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
)

// fileNames are the files of a package; those without content are left out.
var fileNames = []string{"operations.go", "types.go", "enums.go", "errors.go"}

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", ".", "the directory of internal/api")
	flag.Parse()
	if err := run(*dir, *dir); err != nil {
		log.Fatal(err)
	}
}

// run reads the list and the overlay in src and writes the packages below dst.
func run(src, dst string) error {
	list, err := os.ReadFile(filepath.Join(src, "operations.txt"))
	if err != nil {
		return err
	}
	services, err := parseList(string(list))
	if err != nil {
		return err
	}
	models, err := modelsDir(filepath.Join(src, "gen", "models"))
	if err != nil {
		return err
	}
	for _, s := range services {
		m, err := loadModel(
			filepath.Join(models, filepath.FromSlash(s.model), "api-2.json"),
			filepath.Join(src, "overlay", s.pkg+".json"))
		if err != nil {
			return err
		}
		files, err := generate(s, m)
		if err != nil {
			return fmt.Errorf("%s: %w", s.pkg, err)
		}
		if err := os.MkdirAll(filepath.Join(dst, s.pkg), 0o755); err != nil {
			return err
		}
		for _, name := range fileNames {
			text, ok := files[name]
			if !ok {
				if err := os.Remove(filepath.Join(dst, s.pkg, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				continue
			}
			if err := os.WriteFile(filepath.Join(dst, s.pkg, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// modelsDir finds the module with the models, fetching it if need be. Its hash
// is in the go.sum beside the go.mod in dir.
func modelsDir(dir string) (string, error) {
	const module = "github.com/aws/aws-sdk-go"
	cmd := exec.Command("go", "mod", "download", "-json", module)
	cmd.Dir = dir
	out, err := cmd.Output()
	var found struct{ Dir, Error string }
	if jerr := json.Unmarshal(out, &found); jerr == nil && found.Error != "" {
		return "", fmt.Errorf("getting %s: %s", module, found.Error)
	}
	if err != nil {
		return "", fmt.Errorf("getting %s: %w", module, err)
	}
	return filepath.Join(found.Dir, "models", "apis"), nil
}
