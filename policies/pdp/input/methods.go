package input

import (
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Methods holds the request message of each RPC whose client sends exactly one,
// by "package.Service/Method". A stream's messages are not in the body that Envoy
// shows, so a method with a client stream is not in here.
type Methods map[string]protoreflect.MessageDescriptor

// ReadMethods reads a file descriptor set, as protoc --descriptor_set_out
// --include_imports and buf build -o x.binpb write it.
func ReadMethods(path string) (Methods, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(content, &set); err != nil {
		return nil, err
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, err
	}
	return methodsOf(files), nil
}

func methodsOf(files *protoregistry.Files) Methods {
	methods := Methods{}
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				method := service.Methods().Get(j)
				if !method.IsStreamingClient() {
					methods[string(service.FullName())+"/"+string(method.Name())] = method.Input()
				}
			}
		}
		return true
	})
	return methods
}
