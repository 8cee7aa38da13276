"""Export: copies of recordings for people, made only of what verifies. Needs neither trio nor the log.

`mp4.export_mp4`, `contact_sheet.export_sheet` and `proof.export_proof` write files; `catalogue` and `describe` only
look, for `bwvd list` and `bwvd show`. All media is read through `media_index.read_outline`.
"""
