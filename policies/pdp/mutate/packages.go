package mutate

import (
	"path/filepath"

	"github.com/open-policy-agent/opa/v1/ast"
)

// packages says which packages refer to which, so that a mutant is compiled and tested
// with no more than what it can change.
type packages struct {
	// of is the package of each file.
	of map[string]string
	// uses holds, for each package, those that it refers to, itself included.
	uses map[string]map[string]bool
}

func newPackages(modules map[string]*ast.Module) *packages {
	p := &packages{of: map[string]string{}, uses: map[string]map[string]bool{}}
	paths := map[string]ast.Ref{}
	for file, module := range modules {
		name := module.Package.Path.String()
		p.of[file] = name
		paths[name] = module.Package.Path
		p.uses[name] = map[string]bool{name: true}
	}
	for file, module := range modules {
		ast.WalkRefs(module, func(ref ast.Ref) bool {
			if !ref[0].Equal(ast.DefaultRootDocument) {
				return false
			}
			// `data[x]` may be anything: it has every package below it.
			ground := ref.GroundPrefix()
			for name, path := range paths {
				if ground.HasPrefix(path) || path.HasPrefix(ground) {
					p.uses[p.of[file]][name] = true
				}
			}
			return false
		})
	}
	p.close()
	return p
}

// close makes `uses` transitive.
func (p *packages) close() {
	for grown := true; grown; {
		grown = false
		for _, direct := range p.uses {
			for name := range direct {
				for further := range p.uses[name] {
					if !direct[further] {
						direct[further], grown = true, true
					}
				}
			}
		}
	}
}

// sees says whether the rules of a package may depend on those of a file.
func (p *packages) sees(name, file string) bool { return p.uses[name][p.of[file]] }

// around are the files whose rules can see those of a file, and all that they need.
func (p *packages) around(file string) (see, need map[string]bool) {
	see, need = map[string]bool{}, map[string]bool{}
	needed := map[string]bool{}
	for other, name := range p.of {
		if p.sees(name, file) {
			see[other] = true
			for further := range p.uses[name] {
				needed[further] = true
			}
		}
	}
	for other, name := range p.of {
		need[other] = needed[name]
	}
	return see, need
}

func sameDirectory(a, b string) bool { return filepath.Dir(a) == filepath.Dir(b) }
