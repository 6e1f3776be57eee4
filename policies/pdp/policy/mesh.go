package policy

import (
	"context"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// Mesh is what the active bundle says about the mesh it is for.
type Mesh struct {
	TrustDomain string
	// workloads by the SPIFFE ID that each has.
	workloads map[string]string
}

// Workload names the workload of the mesh that has exactly this SPIFFE ID.
func (m Mesh) Workload(id string) (name string, ok bool) {
	name, ok = m.workloads[id]
	return name, ok
}

// ReadMesh reads data.paymesh.environment. What the bundle lacks stays empty: a
// policy that needs it refuses by itself.
func ReadMesh(ctx context.Context, store storage.Store, txn storage.Transaction) Mesh {
	value, err := store.Read(ctx, txn, storage.MustParsePath("/paymesh/environment"))
	if err != nil {
		return Mesh{}
	}
	environment, err := ast.InterfaceToValue(value) // a store may keep terms or plain data
	if err != nil {
		return Mesh{}
	}
	text := func(value ast.Value) string {
		text, _ := value.(ast.String)
		return string(text)
	}
	member := func(name string) ast.Value {
		found, _ := environment.Find(ast.Ref{ast.StringTerm(name)})
		return found
	}
	mesh := Mesh{TrustDomain: text(member("trust_domain")), workloads: map[string]string{}}
	if names, ok := member("workloads").(*ast.Array); ok && mesh.TrustDomain != "" {
		names.Foreach(func(name *ast.Term) {
			id := "spiffe://" + mesh.TrustDomain + "/ns/" + text(member("namespace")) + "/sa/" + text(name.Value)
			mesh.workloads[id] = text(name.Value)
		})
	}
	return mesh
}
