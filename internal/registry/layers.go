package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/distribution/distribution/v3"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var uploadID = regexp.MustCompile(`^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Layer is the size of a layer in bytes, as stored, and whether the repository
// has it. To ask is part of a push: what is found stays for a while.
func (r *Registry) Layer(ctx context.Context, repository, dgst string) (size int64, found bool, err error) {
	d, err := digest.Parse(dgst)
	if err != nil {
		return 0, false, nil
	}
	repo, end, err := r.beginPush(ctx, repository)
	if err != nil {
		return 0, false, err
	}
	defer end()
	desc, err := repo.Blobs(ctx).Stat(ctx, d)
	if errors.Is(err, distribution.ErrBlobUnknown) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("looking for blob %s of %s: %w", dgst, repository, err)
	}
	return desc.Size, true, nil
}

// StartUpload begins to store a layer, of which AppendUpload stores the parts.
// The same upload may be continued with the distribution protocol; it ends
// after a day.
func (r *Registry) StartUpload(ctx context.Context, repository string) (id string, err error) {
	repo, end, err := r.beginPush(ctx, repository)
	if err != nil {
		return "", err
	}
	defer end()
	w, err := repo.Blobs(ctx).Create(ctx)
	if err != nil {
		return "", fmt.Errorf("beginning an upload to %s: %w", repository, err)
	}
	return w.ID(), w.Close()
}

// AppendUpload stores the next part of a layer, if it begins at offset, and
// returns how many bytes there are. The error is fs.ErrNotExist if there is no
// such upload, and fs.ErrInvalid, with the bytes that there are, if the part
// begins elsewhere.
func (r *Registry) AppendUpload(ctx context.Context, repository, id string, offset int64, part []byte) (size int64, err error) {
	w, end, err := r.resume(ctx, repository, id)
	if err != nil {
		return 0, err
	}
	defer end()
	if w.Size() != offset {
		return w.Size(), errors.Join(fs.ErrInvalid, w.Close())
	}
	if _, err := w.Write(part); err != nil {
		return 0, errors.Join(fmt.Errorf("storing a part of upload %s to %s: %w", id, repository, err), w.Close())
	}
	return w.Size(), w.Close()
}

// FinishUpload makes an upload a layer of the repository. The error is
// fs.ErrNotExist if there is no such upload, and fs.ErrInvalid if it has not
// that digest; then it is discarded.
func (r *Registry) FinishUpload(ctx context.Context, repository, id, dgst string) error {
	w, end, err := r.resume(ctx, repository, id)
	if err != nil {
		return err
	}
	defer end()
	_, err = w.Commit(ctx, ocispec.Descriptor{Digest: digest.Digest(dgst)})
	if errors.As(err, &distribution.ErrBlobInvalidDigest{}) {
		// The writer's Cancel does nothing once Commit has closed it.
		upload := fmt.Sprintf("/docker/registry/v2/repositories/%s/_uploads/%s", repository, id)
		discarded := ifThere(r.own.driver.Delete(context.WithoutCancel(ctx), upload))
		return errors.Join(fmt.Errorf("storing layer %s of %s: %w: %w", dgst, repository, fs.ErrInvalid, err), discarded)
	}
	if err != nil {
		return fmt.Errorf("storing layer %s of %s: %w", dgst, repository, err)
	}
	return nil
}

// UploadSize is how many bytes an upload has. The error is fs.ErrNotExist if
// there is no such upload.
func (r *Registry) UploadSize(ctx context.Context, repository, id string) (int64, error) {
	w, end, err := r.resume(ctx, repository, id)
	if err != nil {
		return 0, err
	}
	defer end()
	return w.Size(), w.Close()
}

func (r *Registry) resume(ctx context.Context, repository, id string) (w distribution.BlobWriter, end func(), err error) {
	repo, end, err := r.beginPush(ctx, repository)
	if err != nil {
		return nil, nil, err
	}
	if !uploadID.MatchString(id) { // it would lead elsewhere on the disk
		end()
		return nil, nil, fmt.Errorf("upload to %s: %w", repository, fs.ErrNotExist)
	}
	w, err = repo.Blobs(ctx).Resume(ctx, id)
	if err != nil {
		end()
		if errors.Is(err, distribution.ErrBlobUploadUnknown) {
			err = fs.ErrNotExist
		}
		return nil, nil, fmt.Errorf("upload %s to %s: %w", id, repository, err)
	}
	return w, end, nil
}

// beginPush notes a step of a push.
func (r *Registry) beginPush(ctx context.Context, repository string) (repo distribution.Repository, end func(), err error) {
	if repo, err = r.own.repository(ctx, repository); err != nil {
		return nil, nil, err
	}
	leave := r.traffic.push(repository)
	done, err := r.traffic.step(ctx)
	if err != nil {
		leave()
		return nil, nil, err
	}
	return repo, func() { done(); leave() }, nil
}
