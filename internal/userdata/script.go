package userdata

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// bootstrapScript is what the Amazon Linux 2 images have.
const bootstrapScript = "/etc/eks/bootstrap.sh"

// kubeletMaxPods is kubelet's own default, which holds with --use-max-pods false.
const kubeletMaxPods = 110

// parseScript reads a shell script that sets variables and calls bootstrap.sh.
// It may not do anything else: nothing runs it.
func (c *Config) parseScript(text string) error {
	variables := map[string]string{}
	called := false
	for number, line := range joinLines(text) {
		words, err := splitWords(line, variables)
		if err != nil {
			return fmt.Errorf("line %d of the user data's script: %w", number, err)
		}
		for len(words) > 0 && (words[0] == "sudo" || words[0] == "export") {
			words = words[1:]
		}
		if len(words) == 0 {
			continue
		}
		if assign(words, variables) {
			continue
		}
		switch {
		case words[0] == "set":
		case words[0] == bootstrapScript, len(words) > 1 && isShell(words[0]) && words[1] == bootstrapScript:
			if isShell(words[0]) {
				words = words[1:]
			}
			called = true
			if err := c.addBootstrapArgs(words[1:]); err != nil {
				return fmt.Errorf("line %d of the user data's script: %w", number, err)
			}
		default:
			return fmt.Errorf("line %d of the user data's script runs %q, which is not supported: scripts may set variables and call %s",
				number, words[0], bootstrapScript)
		}
	}
	if !called {
		return errors.New("the user data's script does not call " + bootstrapScript)
	}
	return nil
}

func isShell(word string) bool { base := path.Base(word); return base == "bash" || base == "sh" }

// assign takes words that are all of the form NAME=value.
func assign(words []string, variables map[string]string) bool {
	for _, w := range words {
		if name, _, ok := strings.Cut(w, "="); !ok || variable(name) != len(name) || name == "" {
			return false
		}
	}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		variables[name] = value
	}
	return true
}

// joinLines are the lines with the numbers that they begin at, those that end in
// a backslash or within a quotation joined with the next.
func joinLines(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		begin, whole := 1, ""
		number := 0
		for line := range strings.SplitSeq(text, "\n") {
			number++
			if whole == "" {
				begin = number
			}
			whole += line
			quote, escaped := quotation(whole)
			switch {
			case quote != 0:
				whole += "\n"
				continue
			case escaped:
				whole = whole[:len(whole)-1]
				continue
			}
			if !yield(begin, whole) {
				return
			}
			whole = ""
		}
		if whole != "" {
			yield(begin, whole)
		}
	}
}

// quotation tells which quotation mark is open at the end of s, or that a
// backslash takes the end of the line.
func quotation(s string) (open byte, escaped bool) {
	for i := 0; i < len(s); i++ {
		switch b := s[i]; {
		case open == '\'':
			if b == '\'' {
				open = 0
			}
		case b == '\\':
			if i+1 == len(s) {
				return open, open == 0
			}
			i++
		case open == '"':
			if b == '"' {
				open = 0
			}
		case b == '\'' || b == '"':
			open = b
		case b == '#' && (i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			return 0, false
		}
	}
	return open, false
}

// splitWords splits a line as a shell does: quotes, backslashes, comments and
// variables. What else a shell knows is an error. Expansions are not split again.
func splitWords(line string, variables map[string]string) ([]string, error) {
	var (
		words []string
		word  strings.Builder
		begun bool
		quote byte
	)
	end := func() {
		if begun {
			words = append(words, word.String())
		}
		word.Reset()
		begun = false
	}
	for i := 0; i < len(line); i++ {
		b := line[i]
		switch {
		case quote == '\'' && b == '\'', quote == '"' && b == '"':
			quote = 0
		case quote == '\'':
			word.WriteByte(b)
		case b == '\\' && i+1 < len(line):
			i++
			if quote == '"' && !strings.ContainsRune("$`\"\\\n", rune(line[i])) {
				word.WriteByte('\\')
			}
			if line[i] != '\n' {
				word.WriteByte(line[i])
			}
			begun = true
		case b == '`', b == '$' && strings.HasPrefix(line[i:], "$("):
			return nil, fmt.Errorf("the result of a command (%s) is not supported: write the value", line[i:min(i+20, len(line))])
		case b == '$':
			value, n, err := expand(line[i:], variables)
			if err != nil {
				return nil, err
			}
			word.WriteString(value)
			i += n - 1
			begun = true
		case quote == '"':
			word.WriteByte(b)
		case b == '\'' || b == '"':
			quote, begun = b, true
		case b == ' ' || b == '\t':
			end()
		case b == '#' && !begun:
			return words, nil
		case strings.IndexByte(";&|<>()", b) >= 0:
			return nil, fmt.Errorf("%q is not supported: one plain command a line", string(b))
		default:
			word.WriteByte(b)
			begun = true
		}
		if len(words) > 1000 || word.Len() > maxSize {
			return nil, errors.New("it is too long")
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("a quotation that %c opens does not end", quote)
	}
	end()
	return words, nil
}

// variable is how long the name of a variable at the start of s is.
func variable(s string) int {
	n := 0
	for n < len(s) && (s[n] == '_' || 'a' <= s[n]|0x20 && s[n]|0x20 <= 'z' || n > 0 && '0' <= s[n] && s[n] <= '9') {
		n++
	}
	return n
}

// expand reads $NAME or ${NAME} at the start of s, and how long that is.
func expand(s string, variables map[string]string) (string, int, error) {
	name, n := "", 0
	if rest, ok := strings.CutPrefix(s, "${"); ok {
		k := variable(rest)
		if k == len(rest) || rest[k] != '}' || k == 0 {
			return "", 0, fmt.Errorf("the expansion %q is not supported: there are $NAME and ${NAME}", s[:min(20, len(s))])
		}
		name, n = rest[:k], k+3
	} else {
		k := variable(s[1:])
		name, n = s[1:1+k], k+1
	}
	value, ok := variables[name]
	if !ok {
		return "", 0, fmt.Errorf("the variable %q is not set in the script", s[:n])
	}
	return value, n, nil
}

// addBootstrapArgs takes the arguments of bootstrap.sh.
//
// https://github.com/awslabs/amazon-eks-ami/blob/main/templates/al2/runtime/bootstrap.sh
func (c *Config) addBootstrapArgs(args []string) error {
	useMaxPods, kubelet := true, ""
	for i := 0; i < len(args); i++ {
		flag := args[i]
		if !strings.HasPrefix(flag, "-") {
			if err := c.setCluster(flag); err != nil {
				return err
			}
			continue
		}
		if i++; i == len(args) {
			return fmt.Errorf("%s of bootstrap.sh has no value", flag)
		}
		value := args[i]
		var err error
		switch flag {
		case "--kubelet-extra-args":
			kubelet = value
		case "--dns-cluster-ip":
			err = c.setClusterDNS(flag, value)
		case "--use-max-pods":
			if useMaxPods, err = strconv.ParseBool(value); err != nil {
				err = fmt.Errorf("--use-max-pods is %q: want true or false", value)
			}
		case "--b64-cluster-ca", "--apiserver-endpoint", "--aws-api-retry-attempts":
			// The node has them with the cluster's name.
		case "--container-runtime":
			if value != "containerd" {
				err = fmt.Errorf("--container-runtime %s is not supported: there is containerd", value)
			}
		case "--ip-family":
			if value != "ipv4" {
				err = fmt.Errorf("--ip-family %s is not supported: there is ipv4", value)
			}
		default:
			err = fmt.Errorf("%s of bootstrap.sh is not supported", flag)
		}
		if err != nil {
			return err
		}
	}
	if c.Cluster == "" {
		return errors.New("bootstrap.sh is called without the name of a cluster")
	}
	if !useMaxPods {
		c.MaxPods = kubeletMaxPods
	}
	words, err := splitWords(kubelet, nil)
	if err != nil {
		return fmt.Errorf("--kubelet-extra-args: %w", err)
	}
	return c.addKubeletFlags(words)
}
