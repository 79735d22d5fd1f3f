# `make help` lists what there is. CONTRIBUTING.md says more.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-builtin-rules
.DEFAULT_GOAL := help
.NOTPARALLEL: # targets share two things: the machine and Go's build cache

# One setting for everything but -race, so that Kubernetes is compiled once.
export CGO_ENABLED := 0
# A Go that is too old fetches the one that go.mod names.
export GOTOOLCHAIN ?= auto

# A region needs root; building does not.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=TARN_DATA_DIR)
TARN := $(SUDO) bin/tarn

# What is linked in is told its own version, which clients read: go.mod has it.
module_version = $(shell awk '$$1 == "$(1)" {sub(/^v/, "", $$2); print $$2; exit}' go.mod)
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
KUBERNETES := $(call module_version,k8s.io/kubernetes)
CONTAINERD := $(call module_version,github.com/containerd/containerd/v2)
KUBE       := k8s.io/component-base/version
LDFLAGS    := -s -w -X main.version=$(VERSION) \
	-X $(KUBE).gitVersion=v$(KUBERNETES) \
	-X $(KUBE).gitMajor=$(word 1,$(subst ., ,$(KUBERNETES))) \
	-X $(KUBE).gitMinor=$(word 2,$(subst ., ,$(KUBERNETES))) \
	-X github.com/containerd/containerd/v2/version.Version=$(CONTAINERD)

LINT := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

SHIM       := internal/instance/programs/bin/containerd-shim-runc-v2
CNI        := internal/instance/programs/bin/aws-cni
CNI_SRCS   := $(shell find cmd/aws-cni internal/cni internal/namespace -name '*.go' -not -name '*_test.go')
IMAGES     := images/dist/index.json
IMAGE_SRCS := $(shell find images examples/backend-app internal/image internal/autoscaler cmd/cluster-autoscaler -name '*.go' -not -name '*_test.go')
# -buildvcs=false: VERSION says it already, and a tree without git builds too.
GO_BUILD   := go build -buildvcs=false

##@ Use

.PHONY: up
up: setup build ## Install what is missing, build, bring the region up with the lesson's application
	$(TARN) up
	$(TARN) kubectl apply -f examples/backend-app/k8s/backend-app.yaml
	$(TARN) kubectl rollout status deployment/backend-app --timeout=3m
	$(TARN) kubectl rollout status deployment/coredns --namespace=kube-system --timeout=3m
	@scripts/next

.PHONY: setup setup-test
setup: ## Install the Debian packages that are missing, and check Go
	@scripts/setup
setup-test:
	@scripts/setup test

##@ Build

.PHONY: build
build: programs images ## Build bin/tarn, with the images and the instances' programs in it
	$(GO_BUILD) -ldflags '$(LDFLAGS)' -o bin/tarn ./cmd/tarn

.PHONY: programs
programs: $(SHIM) $(CNI) ## Build containerd's runc shim and the CNI plugin, which bin/tarn carries
$(SHIM): go.mod internal/instance/programs/programs.go
	go generate -run shim ./internal/instance/programs
	@touch $@
$(CNI): go.mod internal/instance/programs/programs.go $(CNI_SRCS)
	go generate -run aws-cni ./internal/instance/programs
	@touch $@

.PHONY: images
images: $(IMAGES) ## Build the container images, which bin/tarn carries
$(IMAGES): go.mod $(IMAGE_SRCS)
	go run ./images/build -o images/dist

.PHONY: generate
generate: ## Make all generated files anew
	go generate ./...

.PHONY: clean
clean: ## Remove what was built; Go's cache and regions stay
	rm -rf bin $(SHIM) $(CNI) images/dist/blobs images/dist/index.json images/dist/oci-layout

##@ Test

.PHONY: test
test: setup-test build vet lint unit race e2e ## Everything that CI runs

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: lint
lint: ## golangci-lint, as .golangci.yml says
	$(LINT) run --allow-parallel-runners ./...

# go vet has its target, so the tests do without.
GO_TEST := go test -vet=off

.PHONY: unit
unit: ## Unit tests; those that need root say so and are skipped without
	$(GO_TEST) $$(go list ./... | grep -v /test/)

.PHONY: race
race: export CGO_ENABLED = 1
race: ## Unit tests under the race detector, but for packages that link Kubernetes
	$(GO_TEST) -race $$(go list -f '{{.ImportPath}} {{join .Deps " "}}' ./... | \
		awk '!/ k8s.io\/kubernetes\// && $$1 !~ /\/test\// {print $$1}')

.PHONY: e2e
e2e: ## End-to-end tests of bin/tarn, as root: real regions, beside any that runs
	$(GO_BUILD) -ldflags '-s -w' -o bin/e2e/kubectl ./test/e2e/kubectl
	$(GO_TEST) -count=1 -timeout=45m $(if $(SUDO),-exec 'sudo --preserve-env=TARN_BIN') ./test/e2e/...

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## Each fuzz target for FUZZTIME (10s)
	@grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's/:func / /' | sort | \
	while read -r file target; do \
		echo "$$target  $${file#./}"; \
		go test -vet=off -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) "$$(dirname "$$file")"; \
	done

.PHONY: bench
bench: build ## Measure a region, and its load balancer beside HAProxy and nginx, as root
	@scripts/setup bench
	$(GO_TEST) -c -o bin/autoscaler.test ./internal/autoscaler
	go run $(if $(SUDO),-exec sudo) ./test/bench

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
