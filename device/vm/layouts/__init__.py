"""Images with a header: Femto-Containers', Sming's and µBPF's extended one (programs.md section 2)."""
