"""Coded media: samples, GOPs and the MP4 that they are stored in. Knows no device, no recorder and no flash.

Start at `samples`: a `Sample` in a `Batch` of one `Track`, and the `Gop` that the loop and the writer pass on.

- `nal` finds and tells apart NAL units of H.264 and HEVC.
- `init_segment` and `fragment` write fragmented MP4: the track's head, and one moof and mdat a GOP.
- `presets` are those of libx264; `dot_font` is what stamp and contact sheet draw text with.
"""
