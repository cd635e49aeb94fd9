// Command yaml reads YAML as the Go programs of a cluster do, one document per line.
//
// Each line of stdin is a JSON string with a document. Each line of stdout is a JSON object: reader -> what it
// read. What JSON cannot hold as it was read, such as a date, is {"type": …, "value": …}; a document that a
// reader refused is {"error": …}.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"

	goyaml "go.yaml.in/yaml/v3"
	oldyaml "gopkg.in/yaml.v3"
	kubernetes "sigs.k8s.io/yaml"
)

var readers = map[string]func([]byte, any) error{
	"go.yaml.in/yaml/v3": goyaml.Unmarshal,
	"gopkg.in/yaml.v3":   oldyaml.Unmarshal,
	"sigs.k8s.io/yaml":   func(data []byte, into any) error { return kubernetes.Unmarshal(data, into) },
}

func root(document string, unmarshal func([]byte, any) error) any {
	var value any
	if err := unmarshal([]byte(document), &value); err != nil {
		return map[string]string{"error": err.Error()}
	}
	return shown(value)
}

func shown(value any) any {
	switch value := value.(type) {
	case nil, string, bool, int, int64, uint64:
		return value
	case float64:
		if !math.IsNaN(value) && !math.IsInf(value, 0) {
			return value
		}
	case []any:
		list := make([]any, len(value))
		for i, item := range value {
			list[i] = shown(item)
		}
		return list
	case map[string]any:
		table := make(map[string]any, len(value))
		for key, item := range value {
			table[key] = shown(item)
		}
		return table
	}
	return map[string]string{"type": fmt.Sprintf("%T", value), "value": fmt.Sprint(value)}
}

func main() {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := json.NewEncoder(os.Stdout)
	output.SetEscapeHTML(false)
	for {
		line, err := input.ReadBytes('\n')
		if err != nil {
			return
		}
		var document string
		if err := json.Unmarshal(line, &document); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		answers := map[string]any{}
		for name, unmarshal := range readers {
			answers[name] = root(document, unmarshal)
		}
		if err := output.Encode(answers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
