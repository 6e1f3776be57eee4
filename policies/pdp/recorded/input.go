package recorded

import (
	"fmt"
	"maps"
	"strings"
)

// AuthorizationPointer is where a call's token stands, and in the record a null.
const AuthorizationPointer = "/attributes/request/http/headers/authorization"

// AuthorizationPath is AuthorizationPointer taken apart.
func AuthorizationPath() []string { return strings.Split(AuthorizationPointer[1:], "/") }

// Erased lists what the record's input held and the log left out: JSON pointers
// (RFC 6901) to its nulls. A body that could not be read is a null of its own
// right; so is a user that a service states not to have.
func Erased(input map[string]any) []string {
	var found []string
	collect(&found, "", input)
	return found
}

func collect(found *[]string, pointer string, value any) {
	switch value := value.(type) {
	case nil:
		if pointer != "/parsed_body" {
			*found = append(*found, pointer)
		}
	case map[string]any:
		for name, member := range value {
			collect(found, pointer+"/"+escape.Replace(name), member)
		}
	case []any:
		for index, element := range value {
			collect(found, fmt.Sprintf("%s/%d", pointer, index), element)
		}
	}
}

var escape = strings.NewReplacer("~", "~0", "/", "~1")

// WithAuthorization is the input with a header in the place of the one that was
// not recorded. The input itself stays as it is.
func WithAuthorization(input map[string]any, header string) map[string]any {
	return with(input, header, AuthorizationPath())
}

func with(object map[string]any, header string, path []string) map[string]any {
	changed := maps.Clone(object)
	if changed == nil {
		changed = map[string]any{}
	}
	if len(path) == 1 {
		changed[path[0]] = header
		return changed
	}
	below, _ := changed[path[0]].(map[string]any)
	changed[path[0]] = with(below, header, path[1:])
	return changed
}
